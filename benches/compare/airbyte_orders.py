"""Airbyte's CDK: a declarative source that reads the list and prints its records. Arguments: the vendor's address, a folder."""

import json
import pathlib
import sys

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

address, folder = sys.argv[1], pathlib.Path(sys.argv[2])

SCHEMA = {"type": "object", "additionalProperties": True, "properties": {"id": {"type": "string"}}}
MANIFEST = {
    "version": "6.0.0",
    "type": "DeclarativeSource",
    "check": {"type": "CheckStream", "stream_names": ["orders"]},
    "streams": [{
        "type": "DeclarativeStream",
        "name": "orders",
        "primary_key": "id",
        "schema_loader": {"type": "InlineSchemaLoader", "schema": SCHEMA},
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {"type": "HttpRequester", "url_base": address, "path": "/orders", "http_method": "GET"},
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["data"]},
            },
            "paginator": {
                "type": "DefaultPaginator",
                "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "cursor"},
                "pagination_strategy": {
                    "type": "CursorPagination",
                    "cursor_value": "{{ response.next }}",
                    "stop_condition": "{{ not response.next }}",
                },
            },
        },
    }],
    "spec": {
        "type": "Spec",
        "connection_specification": {"type": "object", "properties": {}, "additionalProperties": True},
    },
}
CATALOG = {"streams": [{
    "stream": {"name": "orders", "json_schema": SCHEMA, "supported_sync_modes": ["full_refresh"]},
    "sync_mode": "full_refresh",
    "destination_sync_mode": "append",
}]}

config, catalog = folder / "config.json", folder / "catalog.json"
config.write_text("{}")
catalog.write_text(json.dumps(CATALOG))
arguments = ["read", "--config", str(config), "--catalog", str(catalog)]
source = ConcurrentDeclarativeSource(catalog=None, config={}, state=[], source_config=MANIFEST)
launch(source, arguments)
