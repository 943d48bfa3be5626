"""Parse InferenceServices with the models of KServe's Python package, and print them as those write them.

Arguments: the folder in which `kserve` was installed. Standard input: a JSON list of objects. Of the package only the
models and what reads them are imported: the rest is a model server, which needs packages that the tests cannot have.
"""

import importlib
import json
import re
import sys
import types

import kubernetes.client.models


class Answer:
    """What the client takes for an answer of a server."""

    def __init__(self, data: object) -> None:
        self.data = json.dumps(data)


def main(folder: str) -> None:
    """Read, write, compare."""
    sys.path.append(folder)  # what the tests have themselves comes first
    package = types.ModuleType("kserve")
    package.__path__ = [f"{folder}/kserve"]
    sys.modules["kserve"] = package
    models = package.models = importlib.import_module("kserve.models")
    client = importlib.import_module("kserve.api_client").ApiClient()
    for name in dir(kubernetes.client.models):  # metadata, containers and volumes are Kubernetes' own
        if name.startswith("V1") and not hasattr(models, name):
            model = getattr(kubernetes.client.models, name)
            # Both packages are made by one generator, of which this one's words for types are older.
            types_of = {key: re.sub(r"Dict\[(.*)\]", r"dict(\1)", kind) for key, kind in model.openapi_types.items()}
            model.openapi_types = {key: kind.replace("List[", "list[") for key, kind in types_of.items()}
            setattr(models, name, model)
    # The package names this type and has no model of it: a quantity, which is text.
    models.V1beta1MetricQuantity = str
    parsed = [client.deserialize(Answer(one), "V1beta1InferenceService") for one in json.load(sys.stdin)]
    print(json.dumps([client.sanitize_for_serialization(one) for one in parsed]))


if __name__ == "__main__":
    main(sys.argv[1])
