"""Where jax computes, and what it keeps of what it compiled."""

import json
import os
import stat
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from bayes_atlas.errors import InputError
from bayes_atlas.sampler.platforms import precision, use_platform

FIT = """
import json, shutil, sys
import jax
heard = []
jax.monitoring.register_event_listener(lambda event, **_: heard.append(event.rpartition("/")[2]))
import pandas as pd
from bayes_atlas.inference.fit import fit
from bayes_atlas.sampler.platforms import keep_compiled
from bayes_atlas.data.runs import runs_from_frame

if sys.argv[1] == "deleted":
    shutil.rmtree(keep_compiled())
rows = [(f"r{n}", "en", 1e8 * 2**n, 1e9 * 3 ** (n % 3), 3 - 0.1 * n) for n in range(6)]
runs = runs_from_frame(pd.DataFrame(rows, columns=["run", "language", "params", "tokens", "loss"]))
cached = sys.argv[1] != "without"
fit(runs, "chinchilla", chains=1, warmup=150, draws=50, target_accept=0.99, compile_cache=cached)
print(json.dumps([heard.count("cache_hits"), heard.count("cache_misses")]))
"""


@pytest.fixture
def python(tmp_path):
    """Run Python in a new process with a cache folder of its own; what it printed."""

    def run(code, *arguments, **more):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
        environment |= {"XDG_CACHE_HOME": str(tmp_path), **more}
        command = [sys.executable, "-W", "error::UserWarning:jax", "-c", code, *arguments]
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert finished.returncode == 0, finished.stderr[-3000:]
        return finished.stdout

    return run


def test_compiled_programs_are_kept_for_other_processes_where_only_the_user_may_look(python, tmp_path):
    folder = tmp_path / "bayes-atlas" / "compiled"
    hits, misses = json.loads(python(FIT, "with"))
    assert misses > 0
    assert any(folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert json.loads(python(FIT, "with")) == [hits + misses, 0]
    python(FIT, "deleted")  # and does no harm


def test_nothing_is_kept_if_asked_not_to(python, tmp_path):
    assert json.loads(python(FIT, "without")) == [0, 0]
    assert not (tmp_path / "bayes-atlas").exists()


@pytest.mark.parametrize("how", ["open to others", "a link", "of an open parent", "private"])
def test_a_cache_that_others_could_write_to_is_not_used(python, tmp_path, how):
    """A program planted there would be executed."""
    folder = tmp_path / "bayes-atlas" / "compiled"
    folder.parent.mkdir(mode=0o700)
    if how == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir(mode=0o700)
    if how == "open to others":
        folder.chmod(0o770)
    if how == "of an open parent":
        folder.parent.chmod(0o777)
    code = """import jax, warnings
from bayes_atlas.sampler.platforms import keep_compiled
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    keep_compiled()
print([str(each.message) for each in told if "is not used as the cache" in str(each.message)] == [])
print(jax.config.jax_compilation_cache_dir)"""
    silent, used = python(code, "").split()
    assert (silent, used) == (("True", str(folder)) if how == "private" else ("False", "None"))


@pytest.mark.parametrize("told", [{"JAX_COMPILATION_CACHE_DIR": "other"}, {"JAX_ENABLE_COMPILATION_CACHE": "false"}])
def test_what_jax_was_told_of_its_cache_goes_before(python, tmp_path, told):
    code = "import jax; from bayes_atlas.sampler.platforms import keep_compiled; keep_compiled()"
    code += "; print(jax.config.jax_compilation_cache_dir)"
    assert python(code, **told).strip() == told.get("JAX_COMPILATION_CACHE_DIR", "None")
    assert not (tmp_path / "bayes-atlas").exists()


@pytest.mark.parametrize(("platform", "kind"), [("cpu", jnp.float64), ("gpu", jnp.float32), ("tpu", jnp.float32)])
def test_precision_is_double_on_a_cpu_alone(platform, kind):
    before = jax.config.jax_enable_x64
    with precision(platform):
        assert jnp.ones(1).dtype == kind
    assert jax.config.jax_enable_x64 == before


def test_a_platform_must_be_one_there_is():
    with pytest.raises(InputError, match="platform is 'abacus'; choose one of: cpu, gpu, tpu"):
        use_platform("abacus")


def test_a_process_stays_on_its_platform():
    assert jax.default_backend() == "cpu"
    use_platform("cpu")
    assert jax.default_backend() == "cpu"
