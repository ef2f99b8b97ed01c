"""The table of the rooms says truly which imports point backwards."""

from tests.rooms import backwards, room_of


def test_a_file_of_a_folder_belongs_to_the_folder_and_a_file_beside_it_is_a_room():
    assert room_of("modelrollout.analysis.kinds.shares") == "analysis"
    assert room_of("modelrollout.settings") == "settings"
    assert room_of("modelrollout") == "__init__"


def test_imports_down_to_a_common_floor_point_forwards():
    assert backwards({"cli": {"engine", "api"}, "engine": {"api"}}) == []


def test_each_import_of_a_circle_points_backwards_and_no_other():
    circle = {"cli": {"engine"}, "engine": {"rollout"}, "rollout": {"api"}, "api": {"engine"}}
    assert backwards(circle) == [("api", "engine"), ("engine", "rollout"), ("rollout", "api")]
