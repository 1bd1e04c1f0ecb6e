import pytest


@pytest.fixture(scope="session")
def sample_dataset(tmp_path_factory):
    """The embedded sample, synthesised and built by the command that the README names: a folder for load_dataset."""
    from dataset_builder.__main__ import main

    folder = tmp_path_factory.mktemp("sample") / "sample"
    assert main(["sample", "--output", str(folder)]) == 0
    return folder
