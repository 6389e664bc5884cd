"""The security cases: which contracts ask for them."""

from __future__ import annotations

from conformance.catalogue.select import promised
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.contract.recommended import recommended_contract

SECURITY = "security/"


def asked(contract: Contract) -> set[str]:
    """The security cases that the contract's promise asks for, without the area's name."""
    return {check.id.removeprefix(SECURITY) for check in promised(contract) if check.id.startswith(SECURITY)}


def test_the_built_in_contract_asks_for_all() -> None:
    """And one that does not promise it for none."""
    assert len(asked(recommended_contract("p"))) == 19
    assert asked(Contract()) == set()


def test_what_is_not_promised_is_not_asked() -> None:
    """Limits that the contract does not name."""
    bare = asked(contract_from_dict({"promise": {"hostile_tab": True, "abandoned_queues_expire": "never"}}))
    limits = {"connections", "queues", "oversize", "silence", "other-keys", "everlasting-queue"}
    assert not bare & limits
    assert {"publish", "management", "old-tls"} <= bare
