"""Opening the archive and verifying the signature. Nothing outside the signed element is read; no number is kept."""

import hashlib
import io
import re
import zlib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyzipper
from cryptography import x509
from lxml import etree
from msgspec import Struct
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidDigest, InvalidInput, InvalidSignature, SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from engine.identity.ports import NotProven, VerifiedPerson
from engine.kernel.files import Wrong
from engine.kernel.xml_documents import read_document
from integrations.identity.reading import day_of, sex_of

ARCHIVE_BYTES_MAX = 2_000_000
DOCUMENT_BYTES_MAX = 4_000_000  # a photograph in base 64 is some 100 kB
SHARE_CODE = re.compile(r"[A-Za-z0-9]{4}")
ZONE = ZoneInfo("Asia/Kolkata")
_REFERENCE = re.compile(r"(\d{4})(\d{14})(\d{3})")
_ADDRESS = ("careof", "house", "street", "landmark", "loc", "vtc", "po", "subdist", "dist", "state", "country", "pc")
_METHODS = frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA512})
_DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA512})


class Signer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A certificate of UIDAI and the days on which files signed by it were made; both ends belong to it.

    `allows_sha1` is for the years in which UIDAI issued nothing else.
    """

    certificate: str
    begins_on: date
    ends_on: date
    allows_sha1: bool = False


def open_archive(raw: bytes, share_code: str) -> bytes:
    """Return the one document in the archive.

    Raises:
        NotProven: "too-large" (also what would only grow so when opened), "wrong-share-code", "unreadable".
    """
    if len(raw) > ARCHIVE_BYTES_MAX:
        raise NotProven("too-large")
    if SHARE_CODE.fullmatch(share_code) is None:
        raise NotProven("wrong-share-code")
    try:
        with pyzipper.AESZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            if len(members) != 1 or not members[0].filename.lower().endswith(".xml"):
                raise NotProven("unreadable")
            if members[0].file_size > DOCUMENT_BYTES_MAX:
                raise NotProven("too-large")
            if not members[0].flag_bits & 1:
                raise NotProven("unreadable")
            with archive.open(members[0], pwd=share_code.encode()) as member:
                document = bytes(member.read(DOCUMENT_BYTES_MAX + 1))  # the size in the directory may be a lie
    except RuntimeError as error:
        raise NotProven("wrong-share-code") from error
    except (pyzipper.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise NotProven("unreadable") from error
    if len(document) > DOCUMENT_BYTES_MAX:
        raise NotProven("too-large")
    return document


def verified_root(document: bytes, signers: Sequence[Signer]) -> etree._Element:
    """Return the element that one of the signers signed, as it was signed.

    Raises:
        NotProven: "unreadable" (not whole XML, or with a document type), "not-signed", "signature-wrong", "signer-unknown".
    """
    try:
        root = read_document(document, bytes_max=DOCUMENT_BYTES_MAX)
    except Wrong as wrong:
        raise NotProven("unreadable") from wrong
    if root.tag != "OfflinePaperlessKyc":
        raise NotProven("unreadable")
    made_on = _made_at(root).date()
    failed = NotProven("signer-unknown")
    for signer in signers:
        if not signer.begins_on <= made_on <= signer.ends_on:
            continue
        try:
            result = XMLVerifier().verify(
                document,
                x509_cert=x509.load_pem_x509_certificate(signer.certificate.encode()),
                expect_config=SignatureConfiguration(
                    location="./",
                    expect_references=1,
                    signature_methods=_METHODS | ({SignatureMethod.RSA_SHA1} if signer.allows_sha1 else set()),
                    digest_algorithms=_DIGESTS | ({DigestAlgorithm.SHA1} if signer.allows_sha1 else set()),
                    ignore_ambiguous_key_info=True,
                ),
            )
        except (InvalidDigest, InvalidSignature):
            failed = NotProven("signature-wrong")
            continue
        except (InvalidInput, SignXMLException, ValueError, etree.LxmlError) as error:
            raise NotProven("not-signed") from error
        signed = None if isinstance(result, list) else result.signed_xml
        if signed is None or signed.tag != "OfflinePaperlessKyc":
            raise NotProven("not-signed")
        return signed
    raise failed


def read_person(root: etree._Element, authority: str, now: datetime, age_max: timedelta) -> VerifiedPerson:
    """Return what a verified document says.

    Raises:
        NotProven: "too-old", "not-yet-valid", "incomplete".
    """
    made = _made_at(root)
    if made > now + timedelta(minutes=5):
        raise NotProven("not-yet-valid")
    if now - made > age_max:
        raise NotProven("too-old")
    person, place = root.find("UidData/Poi"), root.find("UidData/Poa")
    if person is None or not (person.get("name") or "").strip():
        raise NotProven("incomplete")
    reference = root.get("referenceId") or ""
    parts = [] if place is None else [(place.get(name) or "").strip() for name in _ADDRESS]
    return VerifiedPerson(
        authority=authority,
        as_of=made,
        names=((person.get("name") or "").strip(),),
        born_on=day_of(person.get("dob")),
        sex=sex_of(person.get("gender")),
        address=", ".join(filter(None, parts)),
        number_ending=reference[:4],
        evidence=reference,
    )


def is_phone_of(root: etree._Element, phone: str, share_code: str) -> bool:
    """Return whether the verified document was made for a resident with this telephone number (UIDAI, FAQ 307).

    `phone` is the national number, ten digits. The digest is repeated as often as the last digit of the Aadhaar number
    says, and once for 0 and 1.
    """
    person = root.find("UidData/Poi")
    wanted = "" if person is None else (person.get("m") or "").casefold()
    digest = phone + share_code
    for _ in range(max(1, int((root.get("referenceId") or "0000")[3]))):
        digest = hashlib.sha256(digest.encode()).hexdigest()
    return bool(wanted) and digest == wanted


def _made_at(root: etree._Element) -> datetime:
    """Return the instant in the reference, which begins with four digits of the number; UIDAI writes Indian time."""
    found = _REFERENCE.fullmatch(root.get("referenceId") or "")
    if found is None:
        raise NotProven("unreadable")
    try:
        made = datetime.strptime(found[2], "%Y%m%d%H%M%S")  # noqa: DTZ007 - the zone follows
    except ValueError as error:
        raise NotProven("unreadable") from error
    return made.replace(tzinfo=ZONE)
