"""Aadhaar offline files: a resident's is read; every other file proves nothing."""

import copy
import io
import zipfile
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
import pyzipper
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

from engine.identity.ports import NotProven
from integrations.identity.aadhaar_offline.adapter import AadhaarOffline
from integrations.identity.aadhaar_offline.simulator import AadhaarSimulator
from integrations.identity.aadhaar_offline.wire import ARCHIVE_BYTES_MAX, DOCUMENT_BYTES_MAX

NOW = datetime.now(UTC)
CODE = "4fG7"
PHONE = "9812300000"
PERSON = {"number": "999941057053", "name": "Meera Invented", "dob": "07-11-1985", "gender": "F"}


@pytest.fixture(scope="module")
def uidai() -> AadhaarSimulator:
    return AadhaarSimulator(NOW)


@pytest.fixture(scope="module")
def reader(uidai: AadhaarSimulator) -> AadhaarOffline:
    return AadhaarOffline([uidai.signer], age_max=timedelta(days=3))


def refusal(reader: AadhaarOffline, raw: bytes, code: str = CODE) -> str:
    with pytest.raises(NotProven) as refused:
        reader.read(raw, code, NOW)
    return refused.value.code


def test_a_residents_file_is_read_and_no_number_is_kept(uidai: AadhaarSimulator, reader: AadhaarOffline) -> None:
    made = NOW - timedelta(days=2)

    person = reader.read(uidai.issue(PERSON, CODE, made=made, phone=PHONE), CODE, NOW)

    assert person.names == ("Meera Invented",)
    assert (person.born_on, person.sex, person.number_ending) == (date(1985, 11, 7), "female", "7053")
    assert person.address == "12, Invented Road, Pune, Maharashtra, 411001"
    assert abs(person.as_of - made) < timedelta(seconds=1)
    assert PERSON["number"] not in str(msgspec.to_builtins(person))


def test_the_phone_is_compared_by_its_digest(uidai: AadhaarSimulator, reader: AadhaarOffline) -> None:
    raw = uidai.issue(PERSON, CODE, phone=PHONE)

    assert reader.is_phone_of(raw, CODE, PHONE)
    assert not reader.is_phone_of(raw, CODE, "9812300001")


def test_age(uidai: AadhaarSimulator, reader: AadhaarOffline) -> None:
    assert refusal(reader, uidai.issue(PERSON, CODE, made=NOW - timedelta(days=3, minutes=1))) == "too-old"
    assert refusal(reader, uidai.issue(PERSON, CODE, made=NOW + timedelta(hours=1))) == "not-yet-valid"


def test_what_was_changed_after_signing_is_refused(uidai: AadhaarSimulator, reader: AadhaarOffline) -> None:
    signed = uidai.sign(uidai.document(PERSON, NOW, phone=PHONE, share_code=CODE))

    assert refusal(reader, uidai.seal(signed.replace(b"Meera", b"Sneha"), CODE)) == "signature-wrong"


def test_a_signed_copy_within_another_document_is_not_read(uidai: AadhaarSimulator, reader: AadhaarOffline) -> None:
    signed = etree.fromstring(uidai.sign(uidai.document(PERSON, NOW, phone=PHONE, share_code=CODE)))
    forged = copy.deepcopy(signed)
    person = forged.find("UidData/Poi")
    assert person is not None
    person.set("name", "Somebody Else")
    signature = forged[-1]
    signature.append(signed)  # the wrapper keeps the signature, and hides what it was made of inside

    assert refusal(reader, uidai.seal(etree.tostring(forged), CODE)) in {"signature-wrong", "not-signed"}


def test_a_file_without_a_signature_or_of_another_signer(uidai: AadhaarSimulator, reader: AadhaarOffline) -> None:
    plain = etree.tostring(uidai.document(PERSON, NOW, phone=PHONE, share_code=CODE))
    other = AadhaarSimulator(NOW)

    assert refusal(reader, uidai.seal(plain, CODE)) == "not-signed"
    assert refusal(reader, other.issue(PERSON, CODE)) == "signature-wrong"


def test_a_certificate_signs_for_its_own_days_alone(uidai: AadhaarSimulator) -> None:
    before = msgspec.structs.replace(uidai.signer, ends_on=NOW.date() - timedelta(days=10))
    reader = AadhaarOffline([before], age_max=timedelta(days=3))

    assert refusal(reader, uidai.issue(PERSON, CODE)) == "signer-unknown"


def test_the_code_is_wrong_and_the_archive_is_none(uidai: AadhaarSimulator, reader: AadhaarOffline) -> None:
    raw = uidai.issue(PERSON, CODE)

    assert refusal(reader, raw, "AAAA") == "wrong-share-code"
    assert refusal(reader, raw, "") == "wrong-share-code"
    assert refusal(reader, raw[: len(raw) // 2]) == "unreadable"
    assert refusal(reader, b"<html>502 Bad Gateway</html>") == "unreadable"


def test_bombs_do_not_go_off(uidai: AadhaarSimulator, reader: AadhaarOffline) -> None:
    zeros = uidai.seal(b"<a>" + b" " * (DOCUMENT_BYTES_MAX + 1), CODE)
    size = (DOCUMENT_BYTES_MAX + 4).to_bytes(4, "little")
    assert len(zeros) < 100_000
    assert zeros.count(size) >= 1
    assert refusal(reader, zeros) == "too-large"
    assert refusal(reader, zeros.replace(size, (10).to_bytes(4, "little"))) in {"too-large", "unreadable"}
    assert refusal(reader, b"PK" + b"\0" * ARCHIVE_BYTES_MAX) == "too-large"
    laughs = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><OfflinePaperlessKyc>&b;</OfflinePaperlessKyc>'
    assert refusal(reader, uidai.seal(laughs, CODE)) == "unreadable"
    outside = b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]><OfflinePaperlessKyc>&a;</OfflinePaperlessKyc>'
    assert refusal(reader, uidai.seal(outside, CODE)) == "unreadable"


def test_an_archive_of_several_files_or_without_a_seal(uidai: AadhaarSimulator, reader: AadhaarOffline) -> None:
    signed = uidai.sign(uidai.document(PERSON, NOW, phone=PHONE, share_code=CODE))
    two = io.BytesIO()
    with pyzipper.AESZipFile(two, "w", encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(CODE.encode())
        archive.writestr("one.xml", signed)
        archive.writestr("two.xml", signed)
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as open_archive:
        open_archive.writestr("one.xml", signed)

    assert refusal(reader, two.getvalue()) == "unreadable"
    assert refusal(reader, plain.getvalue()) == "unreadable"


def test_old_signatures_only_where_they_are_allowed(uidai: AadhaarSimulator) -> None:
    class OldSigner(XMLSigner):
        def check_deprecated_methods(self) -> None:
            """Sign as was done then."""

    root = uidai.document(PERSON, NOW, phone=PHONE, share_code=CODE)
    old = OldSigner(signature_algorithm=SignatureMethod.RSA_SHA1, digest_algorithm=DigestAlgorithm.SHA1)
    raw = uidai.seal(etree.tostring(old.sign(root, key=uidai._key, cert=[uidai._certificate])), CODE)
    then = msgspec.structs.replace(uidai.signer, allows_sha1=True)

    assert refusal(AadhaarOffline([uidai.signer], age_max=timedelta(days=3)), raw) == "not-signed"
    assert AadhaarOffline([then], age_max=timedelta(days=3)).read(raw, CODE, NOW).names == ("Meera Invented",)
