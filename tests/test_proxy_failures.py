"""Three servers, one of which fails: what clients see is what they see of nginx (`bench/failures.py` prints it all)."""

import sys

import pytest
from front import NGINX
from harness import DAEMUN, ROOT

sys.path.insert(0, str(ROOT / "bench"))
import failures  # noqa: E402



@pytest.mark.slow
@pytest.mark.parametrize("fault", failures.FAULTS)
def test_clients_see_what_they_see_of_nginx(fault):
    if NGINX is None:
        pytest.skip("there is no nginx to compare with")
    for what, found in failures.table({"daemun": DAEMUN, "nginx": NGINX}, 8, [fault]):
        assert found["daemun"] == found["nginx"], what


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["killed", "hangs", "closes", "resets in mid-head"])
def test_no_request_without_a_body_fails(fault):
    ((_, found),) = failures.table({"daemun": DAEMUN}, 6, [fault], ["GET"])
    assert found["daemun"] == "6 ok"
