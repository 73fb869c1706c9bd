"""UIDAI's side: makes files for invented residents, with a certificate of its own."""

import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pyzipper
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod
from signxml.signer import XMLSigner

from integrations.identity.aadhaar_offline.wire import ZONE, Signer


class AadhaarSimulator:
    """Signs with a key made when it begins."""

    def __init__(self, now: datetime) -> None:
        """Begin with a certificate that was in force a year before `now` and is for a year more."""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An invented authority")])
        begins, ends = now - timedelta(days=365), now + timedelta(days=365)
        self._certificate = (
            x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number(), begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.signer = Signer(certificate=self.certificate, begins_on=begins.date(), ends_on=ends.date())

    @property
    def certificate(self) -> str:
        """Return the certificate as PEM."""
        return self._certificate.public_bytes(Encoding.PEM).decode()

    def document(self, person: Mapping[str, str], made: datetime, *, phone: str, share_code: str) -> etree._Element:
        """Return a document that is not signed yet. `person` has name, dob and gender as UIDAI writes them, and number."""
        number = person["number"]
        digest = phone + share_code
        for _ in range(max(1, int(number[-1]))):
            digest = hashlib.sha256(digest.encode()).hexdigest()
        stamp = made.astimezone(ZONE).strftime("%Y%m%d%H%M%S%f")[:-3]
        root = etree.Element("OfflinePaperlessKyc", referenceId=number[-4:] + stamp)
        data = etree.SubElement(root, "UidData")
        shown = {name: person[name] for name in ("name", "dob", "gender")}
        etree.SubElement(data, "Poi", {**shown, "e": "", "m": digest})
        etree.SubElement(data, "Poa", house="12", street="Invented Road", vtc="Pune", state="Maharashtra", pc="411001")
        etree.SubElement(data, "Pht").text = "aW52ZW50ZWQ="
        return root

    def sign(self, root: etree._Element) -> bytes:
        """Return the document with its signature inside, as UIDAI signs: the whole, by canonical XML 1.0."""
        signer = XMLSigner(
            method=SignatureConstructionMethod.enveloped,
            c14n_algorithm=CanonicalizationMethod.CANONICAL_XML_1_0,
        )
        return etree.tostring(signer.sign(root, key=self._key, cert=[self._certificate]))

    def seal(self, document: bytes, share_code: str, *, name: str = "offlineaadhaar.xml") -> bytes:
        """Return the archive, sealed with the share code."""
        made = io.BytesIO()
        with pyzipper.AESZipFile(made, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
            archive.setpassword(share_code.encode())
            archive.writestr(name, document)
        return made.getvalue()

    def issue(
        self, person: Mapping[str, str], share_code: str, *, made: datetime | None = None, phone: str = ""
    ) -> bytes:
        """Return the file for a resident."""
        root = self.document(person, made or datetime.now(UTC), phone=phone, share_code=share_code)
        return self.seal(self.sign(root), share_code)
