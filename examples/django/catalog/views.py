"""The pages of the shop."""

import hashlib

from django.contrib.auth.decorators import login_required
from django.http import HttpResponseNotAllowed, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from .forms import EnquiryForm
from .models import Enquiry, Product


def index(request):
    words = request.GET.get("q", "").strip()
    products = Product.objects.all()
    if words:
        products = products.filter(name__icontains=words)
    return render(request, "catalog/index.html", {"products": products, "words": words})


def product(request, slug):
    return render(request, "catalog/product.html", {"product": get_object_or_404(Product, slug=slug)})


def enquiry(request):
    form = EnquiryForm(request.POST or None, request.FILES or None, initial={"product": request.GET.get("product")})
    if request.method == "POST" and form.is_valid():
        received = form.save(commit=False)
        if received.attachment:
            digest = hashlib.sha256()
            for chunk in received.attachment.chunks():
                digest.update(chunk)
            received.digest = digest.hexdigest()
        received.save()
        request.session["last_enquiry"] = received.pk
        return redirect(reverse("enquiry-received", args=[received.pk]))
    return render(request, "catalog/enquiry.html", {"form": form}, status=400 if form.errors else 200)


def enquiry_received(request, number):
    # Only to whom it belongs: the session knows.
    number = number if request.session.get("last_enquiry") == number else None
    return render(request, "catalog/received.html", {"enquiry": get_object_or_404(Enquiry, pk=number)})


def prices(request):
    """The price list, a row at a time, as a long export would be sent."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])

    def rows():
        yield "product,price\n"
        for row in Product.objects.values_list("name", "price").iterator():
            yield f"{row[0]},{row[1]}\n"

    return StreamingHttpResponse(rows(), content_type="text/csv; charset=utf-8")


@login_required
def account(request):
    return render(request, "catalog/account.html")
