"""Aadhaar Paperless Offline e-KYC: a sealed ZIP with one signed XML, made by UIDAI for the resident who hands it over."""
