"""`flask rename-project`, in a copy of the whole project."""

import myapp
from support.clone import Clone, word


def test_a_long_and_a_short_name_leave_nothing_of_the_former_one(tmp_path):
    clone, former = Clone(tmp_path / "clone"), myapp.__name__
    for name, title in (("sixteen_letters1", "Any one's"), ("q", "Q")):
        output = clone.flask("rename-project", name, "--title", title)
        assert f"{former} is renamed to {name}: " in output
        assert not word(former).search(clone.words())
        clone.commit()
        clone.lint()  # with other line breaks everywhere
        former = name
