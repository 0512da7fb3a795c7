"""The pages of the shop."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.index, name="index"),
    path("products/<slug:slug>/", views.product, name="product"),
    path("enquiry/", views.enquiry, name="enquiry"),
    path("enquiry/<int:number>/", views.enquiry_received, name="enquiry-received"),
    path("prices.csv", views.prices, name="prices"),
    path("account/", views.account, name="account"),
]
