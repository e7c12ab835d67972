from __future__ import annotations

import hashlib
import re
import string

from hypothesis import given
from hypothesis import strategies as st

from llm_proxy.api_keys.secret import hash_of, hint_of, is_well_formed, new_secret

CHARACTERS = string.digits + string.ascii_letters
# The CRC-32 of 43 zeros is 0x7849568F, which in base 62 is what stands at the end.
KNOWN = "gwk_" + "0" * 43 + "2CZclj"


def test_is_one_word_that_tells_its_kind() -> None:
    secret = new_secret()

    assert re.fullmatch(r"gwk_[0-9A-Za-z]{49}", secret)
    assert is_well_formed(secret.encode())


def test_never_comes_twice() -> None:
    assert len({new_secret() for _ in range(1000)}) == 1000


def test_has_256_bits_of_chance() -> None:
    assert 62**43 > 2**256


@given(place=st.integers(4, 52), character=st.sampled_from(CHARACTERS))
def test_every_single_typo_is_seen(place: int, character: str) -> None:
    secret = new_secret()
    mistyped = secret[:place] + character + secret[place + 1 :]

    assert is_well_formed(mistyped.encode()) == (mistyped == secret)


@given(st.binary(max_size=80))
def test_nothing_else_is_taken_for_one(token: bytes) -> None:
    assert not is_well_formed(token)
    assert not is_well_formed(b"gwk_" + token)


def test_cut_or_longer_ones_are_not_whole() -> None:
    secret = new_secret().encode()

    for wrong in (secret[:-1], secret + b"0", secret + b"\n", b" " + secret, secret.upper()):
        assert not is_well_formed(wrong)


def test_the_check_is_that_of_the_documented_format() -> None:
    assert is_well_formed(KNOWN.encode())


def test_a_hint_gives_nothing_away() -> None:
    secret = new_secret()

    assert secret.startswith(hint_of(secret))
    assert len(hint_of(secret)) == len("gwk_") + 4


def test_what_is_stored_is_the_sha_256() -> None:
    assert hash_of(b"gwk_") == hashlib.sha256(b"gwk_").hexdigest()
