"""What a command says where it was used wrongly."""

from jaxvae.cli import main


def assert_refused(words, message, capsys):
    """Status 2, and one line of error that says why."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith("error: ")
    assert message in printed.err
