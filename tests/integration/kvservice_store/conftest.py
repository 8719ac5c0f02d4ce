"""The contract suite lives in tests/support: its asserts shall speak, too."""

import pytest

pytest.register_assert_rewrite("store_contract")
