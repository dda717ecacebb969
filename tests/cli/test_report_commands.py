"""The commands that tell others what was found say what they do, and refuse what they cannot do."""


def test_the_help_of_export_shows_examples(invoke):
    done = invoke("export", "--help")
    assert done.exit_code == 0
    assert "export findings studies/capacity.py --into studies" in done.stdout
    assert "compute, seeds, versions, licences" in " ".join(done.stdout.split())


def test_an_unknown_form_is_refused(invoke):
    done = invoke("export", "poem")
    assert done.exit_code == 2
    assert "'poem' is not" in done.stderr
