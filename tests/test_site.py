"""The parts of the site that need neither Node nor a browser: `make test-site` and `make test-browser` test the rest."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
sys.path[:0] = [str(ROOT / "site"), str(ROOT / "site" / "book")]

import pages  # noqa: E402
from building import packing, words  # noqa: E402


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_a_page_keeps_every_cell_and_solves_every_exercise(path):
    cells = json.loads(pages.page_of(path))["cells"]
    before = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert ["".join(cell["source"]) for cell in code] == ["".join(c["source"]) for c in before if c["cell_type"] == "code"]
    exercises = sum(bool(pages.checked(cell)) for cell in code)
    assert exercises == sum("<summary>A solution</summary>" in "".join(cell["source"]) for cell in cells) > 0
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert pages.WIDGET not in json.dumps([cell["outputs"] for cell in code])
    revealed = [cell["metadata"]["tags"] for cell in code if "reveal" in cell["metadata"].get("tags", [])]
    assert revealed and all("hide-output" in tags for tags in revealed)


def test_a_page_links_to_colab_only_where_it_is_published(path):
    assert "colab" not in "".join(json.loads(pages.page_of(path))["cells"][1]["source"]).lower()
    link = "".join(json.loads(pages.page_of(path, address="someone/somewhere"))["cells"][1]["source"])
    assert f"/someone/somewhere/blob/colab/{path.name})" in link


def test_every_engine_of_the_book_replaces_an_explorer():
    """What ENGINE looks for is still there to be found."""
    code = [
        "".join(cell["source"])
        for path in NOTEBOOKS
        for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "code"
    ]
    for held in pages.ENGINE:
        assert any(held in source for source in code), held


def test_pictures_keep_their_texts():
    output = {"data": {"image/png": "AA\nBB"}, "metadata": {"image/png": {"alt": 'a "fox" <'}}, "output_type": "display_data"}
    shown = pages.with_text(output)["data"]["text/html"]
    assert shown == '<img alt="a &quot;fox&quot; &lt;" src="data:image/png;base64,AABB">'


def test_a_file_is_named_after_its_content_and_replaces_the_earlier_one(tmp_path):
    one = packing.packed_into(tmp_path, "unet.onnx", b"one" * 100)
    assert one == packing.packed_into(tmp_path, "unet.onnx", b"one" * 100) and one["unpacked"] == 300 > one["bytes"]
    two = packing.packed_into(tmp_path, "unet.onnx", b"two")
    assert [path.name for path in tmp_path.iterdir()] == [two["name"]] != [one["name"]]


def test_only_the_rows_that_were_trained_travel(components):
    file, known = words.rows_of(components.text_encoder)
    table = components.text_encoder.get_input_embeddings().weight.detach().numpy()
    ids, rows = np.frombuffer(file[: 4 * known], "<i4"), np.frombuffer(file[4 * known :], "<f4").reshape(known, -1)
    assert (rows == table[ids]).all() and np.delete(table, ids, axis=0).any() == np.False_


def test_another_tokenizer_is_refused_with_a_sentence(components):
    class Backend:
        def to_str(self):
            model = json.loads(components.tokenizer.backend_tokenizer.to_str())
            model["model"]["merges"].reverse()
            return json.dumps(model)

    class Other:
        bos_token, eos_token, backend_tokenizer = components.tokenizer.bos_token, components.tokenizer.eos_token, Backend()

    with pytest.raises(ValueError, match="does not follow from its merges"):
        words.merges_of(Other())


def test_the_scripts_ask_nothing_of_another_server():
    """A link may lead elsewhere, a request may not; the page's own policy forbids it, too."""
    for path in [*(ROOT / "site" / "src").glob("*"), ROOT / "site" / "index.html", ROOT / "site" / "page.css"]:
        assert not re.search(r"https?://", path.read_text()), path
    assert "default-src 'self' blob: data:;" in (ROOT / "site" / "index.html").read_text()
