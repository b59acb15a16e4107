"""How many payloads there are, and that each of them is one: the figure of the project's security, counted from its tables."""

from tests.security import (
    pickles,
    targets,
    test_archives,
    test_configs,
    test_documents,
    test_hostile,
    test_images,
    test_paths,
    test_pickles,
    test_secrets,
)

CLASSES = {
    "pickles": [*pickles.CALLS, *pickles.SHAPES, *test_pickles.FIELDS, *test_pickles.TENSORS, *test_hostile.KINDS],
    "targets": [*targets.DIRECT, *targets.AROUND, *test_hostile.TARGETS, *test_hostile.ALIASES, *test_hostile.FORMS],
    "texts": [*test_configs.STORED, *test_configs.FILES, *test_configs.NODES, *test_configs.RESOLVERS],
    "pictures": [*test_images.BOMBS],
    "archives": [*test_archives.MEMBERS, *test_archives.LARGE],
    "paths": [*map(str, (*test_paths.LAYOUTS, *test_paths.IDS, *test_paths.NAMES, *test_paths.POINTERS, *test_paths.ATTEMPTS))],
    "secrets": [*test_secrets.LITERALS],
    "documents": [*test_documents.BROKEN, *test_documents.RECORDS, *map(str, test_documents.PLACES), *test_documents.DOCUMENTS],
}


def test_there_are_enough_of_each_class():
    counts = {kind: len(set(names)) for kind, names in CLASSES.items()}
    print(counts, sum(counts.values()))
    assert sum(counts.values()) >= 300 and min(counts.values()) >= 10


def test_each_payload_of_the_tables_has_something_to_do():
    """A pickle calls something with arguments, a node names a target: none is empty by a slip."""
    assert all(module and attribute and arguments for module, attribute, arguments in pickles.CALLS.values())
    assert all("_target_" in node for node in targets.DIRECT.values())
    assert len(set(targets.DIRECT.values())) == len(targets.DIRECT) and len(set(targets.AROUND.values())) == len(targets.AROUND)
    assert len(set(map(str, pickles.CALLS.values()))) == len(pickles.CALLS)
