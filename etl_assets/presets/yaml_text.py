"""Reading of the YAML files that people write (mappings, sources): scalars stay the text that stands in the file.

``constant: 007``, ``yes`` and ``2024-01-31`` are text there, which YAML would turn into a number, a truth value and a
date; fields that are numbers or truth values convert them. Their validation does not belong here (`plain_errors`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable

_KEPT: Final = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


class _TextLoader(yaml.SafeLoader):
    """Safe loader that converts no scalar but null, and refuses a key that is given twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # the attribute that PyYAML reads
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  # the signature of PyYAML
        """Build a dictionary; the hazard is a key given twice, of which YAML keeps the last without a word."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {key.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:  # noqa: ANN401  # any YAML
    """Return the content of a YAML text, scalars as text. Raises `yaml.YAMLError`."""
    return yaml.load(text, _TextLoader)  # noqa: S506  # a safe loader
