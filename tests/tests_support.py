from companion.claims import Claim, Control


def claim_of(id, measured, control, criterion="slope > 0"):
    return Claim(
        id=id,
        says="a claim",
        criterion=criterion,
        reason="an example",
        measure=lambda _: measured,
        control=Control("its control", lambda _: control),
    )
