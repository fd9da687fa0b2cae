"""Service account tokens as a Kubernetes cluster signs them, and as somebody would forge them."""

import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def new_key(algorithm: str):
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def pem(key) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode().strip()


def claims(namespace="default", name="app", uid="11111111-2222-4333-8444-555555555555", **others) -> dict:
    """Of a token that lives ten minutes; a claim that is None is left out."""
    now = int(time.time())
    bound = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
    own = {"iss": "https://cluster", "aud": ["vault"], "iat": now, "nbf": now, "exp": now + 600}
    all_claims = own | {"sub": f"system:serviceaccount:{namespace}:{name}", "kubernetes.io": bound} | others
    return {name: value for name, value in all_claims.items() if value is not None}


def token(key, algorithm: str, payload: dict, **header) -> str:
    head = {"alg": algorithm, "kid": "key-1", "typ": "JWT"} | header
    signed = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(payload).encode())}"
    return f"{signed}.{encoded(sign(key, algorithm, signed.encode()))}"


def sign(key, algorithm: str, message: bytes) -> bytes:
    if algorithm == "none":
        return b""
    if algorithm.startswith("HS"):
        return hmac.new(key, message, hashlib.sha256).digest()
    if algorithm == "EdDSA":
        return key.sign(message)
    digest = HASHES[algorithm[2:]]
    if algorithm.startswith("ES"):
        size = key.key_size // 8
        return b"".join(part.to_bytes(size, "big") for part in decode_dss_signature(key.sign(message, ec.ECDSA(digest))))
    if algorithm.startswith("PS"):
        return key.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(message, padding.PKCS1v15(), digest)


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
