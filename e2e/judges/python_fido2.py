"""Debian's python3-fido2 as a website: what the agent answers, fido2.server verifies."""

import base64
import json
import os
import subprocess
import unittest
from collections.abc import Mapping
from enum import Enum

from fido2.attestation import Attestation, AttestationType
from fido2.client import ClientData
from fido2.cose import ES256, EdDSA
from fido2.ctap2 import AttestationObject, AuthenticatorData
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import PublicKeyCredentialParameters

CARD = os.environ["JUDGES_CARD"]
PINLESS_CARD = os.environ["JUDGES_PINLESS_CARD"]
AAGUID = "577bf2f9a63972033c5cc9d35f7afdf8"

# The flags of authenticator data (WebAuthn L3 §6.1).
UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80


def as_json(value):
    """Returns options as a website's page has them: bytes in base64url."""
    if isinstance(value, Mapping):
        return {k: as_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(v) for v in value]
    if isinstance(value, bytes):
        return websafe_encode(value)
    if isinstance(value, Enum):
        return value.value
    return value


def turned(data, at=-1):
    """Returns data with one bit of one byte turned."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def ask(what, origin, options, card=CARD):
    """Has keyhold-agent answer a website."""
    command = [os.environ["KEYHOLD_AGENT"], "tap", what, "--card", card, "--origin", origin, "--options", "-"]
    ended = subprocess.run(command, input=json.dumps(as_json(options)), capture_output=True, text=True)
    if ended.returncode != 0:
        raise AssertionError(f"keyhold-agent ended with {ended.returncode}: {ended.stderr}")
    return json.loads(ended.stdout)


class Website:
    """A website with an RP ID of its own, so that no test sees another one's accounts."""

    def __init__(self, name, attestation, *algorithms):
        self.rp_id = f"{name}.python.example"
        self.origin = f"https://login.{self.rp_id}"
        self.attested = []  # what the judge made of each statement
        self.server = Fido2Server({"id": self.rp_id, "name": "Shop"}, attestation=attestation, verify_attestation=self.attest)
        if algorithms:
            self.server.allowed_algorithms = [PublicKeyCredentialParameters("public-key", a) for a in algorithms]

    def attest(self, statement, client_data_hash):
        verifier = Attestation.for_type(statement.fmt)()
        self.attested.append(verifier.verify(statement.att_statement, statement.auth_data, client_data_hash).attestation_type)

    def begin(self, user_verification="required", resident_key=True, credentials=None):
        user = {"id": os.urandom(16), "name": "ada", "displayName": "Ada"}
        return self.server.register_begin(user, credentials, resident_key=resident_key, user_verification=user_verification)

    def answer(self, options, **how):
        """Returns client data and attestation object for the options of begin."""
        said = ask("register", self.origin, options, **how)
        assert said["response"]["authenticatorData"] == websafe_encode(
            AttestationObject(websafe_decode(said["response"]["attestationObject"])).auth_data
        )
        return ClientData(websafe_decode(said["response"]["clientDataJSON"])), AttestationObject(websafe_decode(said["response"]["attestationObject"]))

    def register(self, **how):
        options, state = self.begin(**how)
        return self.server.register_complete(state, *self.answer(options)), options["publicKey"]["user"]["id"]

    def assertion(self, options, **how):
        """Returns what authenticate_complete takes after the credentials, and the user's handle."""
        said = ask("sign-in", self.origin, options, **how)
        r = said["response"]
        handle = websafe_decode(r["userHandle"]) if "userHandle" in r else None
        return (websafe_decode(said["id"]), ClientData(websafe_decode(r["clientDataJSON"])), AuthenticatorData(websafe_decode(r["authenticatorData"])),
                websafe_decode(r["signature"])), handle


class Judge(unittest.TestCase):
    def check(self, name, attestation, algorithms, key, resident_key=True):
        """Registers, and signs in with an allow list and without."""
        site = Website(name, attestation, *algorithms)
        made, user = site.register(resident_key=resident_key)
        self.assertEqual([AttestationType.SELF] if attestation else [], site.attested)
        self.assertEqual(UP | UV | BE | BS | AT, made.flags)
        self.assertEqual(0, made.counter)
        credential = made.credential_data
        self.assertEqual(AAGUID, bytes(credential.aaguid).hex())
        self.assertEqual(32, len(credential.credential_id))
        self.assertIsInstance(credential.public_key, key)
        for allowed in [[credential], None]:
            options, state = site.server.authenticate_begin(allowed, user_verification="required")
            answer, handle = site.assertion(options)
            self.assertEqual(credential, site.server.authenticate_complete(state, [credential], *answer))
            self.assertEqual(UP | UV | BE | BS, answer[2].flags)
            self.assertEqual(0, answer[2].counter)
            self.assertEqual(user, handle)

    def test_es256_without_attestation(self):
        self.check("es256-none", None, [ES256.ALGORITHM], ES256)

    def test_es256_with_self_attestation(self):
        self.check("es256-direct", "direct", [ES256.ALGORITHM], ES256)

    def test_eddsa_without_attestation(self):
        self.check("eddsa-none", None, [EdDSA.ALGORITHM], EdDSA)

    def test_eddsa_with_self_attestation(self):
        self.check("eddsa-direct", "direct", [EdDSA.ALGORITHM], EdDSA)

    def test_the_librarys_own_algorithms(self):
        self.check("default", "direct", [], ES256)

    def test_an_excluded_credential_is_refused(self):
        site = Website("excluded", None)
        made, _ = site.register()
        options, _ = site.begin(credentials=[made.credential_data])
        with self.assertRaisesRegex(AssertionError, "the website gets InvalidStateError"):
            site.answer(options)

    def test_nobody_is_verified_by_a_card_without_a_pin(self):
        site = Website("pinless", None)
        options, state = site.begin(user_verification="discouraged")
        answer = site.answer(options, card=PINLESS_CARD)
        made = site.server.register_complete(state, *answer)
        self.assertEqual(UP | BE | BS | AT, made.flags)
        with self.assertRaisesRegex(ValueError, "User verification required"):
            site.server.register_complete({**state, "user_verification": "required"}, *answer)

    def test_one_turned_bit_is_refused(self):
        site = Website("turned", "direct")
        options, state = site.begin()
        data, statement = site.answer(options)
        for at in (-1, 40):
            with self.assertRaises(Exception):
                site.server.register_complete(state, data, AttestationObject(turned(statement, at)))
        with self.assertRaises(ValueError):
            site.server.register_complete({**state, "challenge": websafe_encode(turned(websafe_decode(state["challenge"])))}, data, statement)
        made = site.server.register_complete(state, data, statement).credential_data

        options, state = site.server.authenticate_begin([made])
        (credential_id, data, auth, signature), _ = site.assertion(options)
        self.assertEqual(made, site.server.authenticate_complete(state, [made], credential_id, data, auth, signature))
        for answer in [
            (turned(credential_id), data, auth, signature),
            (credential_id, ClientData(turned(data, -19)), auth, signature),
            (credential_id, data, AuthenticatorData(turned(auth)), signature),
            (credential_id, data, auth, turned(signature)),
        ]:
            with self.assertRaises(ValueError):
                site.server.authenticate_complete(state, [made], *answer)


if __name__ == "__main__":
    unittest.main()
