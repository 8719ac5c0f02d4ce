"""`kvctl lint`: what the API server would refuse in a manifest, and what it would not but you might regret."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import rich
import typer
import yaml

from kvctl.errors import KvctlError
from kvctl.output import Output, OutputOption, make_table, print_json
from kvoperator.api.lint import Finding, Severity
from kvoperator.api.lint import lint as findings_of
from kvoperator.api.spec import GROUP, KIND

Found = tuple[str, Finding]  # where the document begins ("file:line"), what was found


def lint(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Manifests; - reads standard input.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Check KVCluster manifests as the API server would. Exits 1 if one has errors, 0 if there are only warnings.

    Objects of other APIs in the same file are passed over.

    Examples:

      kvctl lint kvcluster.yaml

      helm template mychart | kvctl lint - --output json
    """
    found = [each for file in files for each in _in_file(file, _read(file))]
    if output is Output.JSON:
        print_json([_row(where, finding) for where, finding in found])
    elif found:
        rows = [[where, finding.severity, str(finding)] for where, finding in found]
        rich.print(make_table(["Where", "Severity", "Finding"], rows))
    else:
        print(f"{', '.join(files)}: nothing to object to")
    if any(finding.severity is Severity.ERROR for _, finding in found):
        raise typer.Exit(1)


def _row(where: str, finding: Finding) -> dict[str, Any]:
    return {
        "where": where,
        "severity": finding.severity,
        "field": finding.path,
        "value": finding.value,
        "finding": finding.sentence,
    }


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise KvctlError(f"{file} is not UTF-8 text; expected a YAML manifest") from None
    except OSError as error:
        raise KvctlError(f"{file} cannot be read: {error.strerror}") from None


def _in_file(file: str, text: str) -> Iterator[Found]:
    name = "(stdin)" if file == "-" else file
    empty = True
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            manifest = _Loader("").construct_document(node)
            if manifest is not None and not _is_foreign(manifest):  # kubectl passes over empty documents, too
                empty = False
                json.dumps(manifest, default=str, skipkeys=True)  # refuses what contains itself
                yield from ((f"{name}:{node.start_mark.line + 1}", finding) for finding in findings_of(manifest))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        yield f"{name}:{line}", Finding("(document)", None, f"not YAML: {error.problem}")
    except yaml.YAMLError as error:
        yield f"{name}:1", Finding("(document)", None, f"not YAML: {str(error).splitlines()[0]}")
    except (ValueError, RecursionError) as error:  # a value that is not what its tag says, or that contains itself
        yield f"{name}:1", Finding("(document)", None, f"not a manifest: {error}")
    else:
        if empty:
            yield f"{name}:1", Finding("(document)", None, "nothing in it; expected a KVCluster")


def _is_foreign(manifest: Any) -> bool:
    """An object of another API that is applied with the KVCluster, such as its Namespace: not ours to check."""
    if not isinstance(manifest, dict) or "kind" not in manifest or "apiVersion" not in manifest:
        return False
    return manifest["kind"] != KIND and not str(manifest["apiVersion"]).startswith(f"{GROUP}/")


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: no dates, and no key twice in one map."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for index, key in enumerate(keys):
            if any(key.value == earlier.value for earlier in keys[:index]):
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
