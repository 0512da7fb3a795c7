"""The enquiry form."""

from django import forms

from .models import Enquiry


class EnquiryForm(forms.ModelForm):
    class Meta:
        model = Enquiry
        fields = ["name", "email", "product", "message", "attachment"]
        widgets = {"message": forms.Textarea(attrs={"rows": 5})}
