"""dlt: its REST source into SQLite or Postgres, merged by key. Arguments: the vendor's address, the destination, a folder."""

import sys

import dlt
from dlt.sources.rest_api import rest_api_source

address, into, folder = sys.argv[1:]

source = rest_api_source({
    "client": {
        "base_url": address,
        "paginator": {"type": "cursor", "cursor_path": "next", "cursor_param": "cursor"},
    },
    "resource_defaults": {"primary_key": "id", "write_disposition": "merge"},
    "resources": [{"name": "orders", "endpoint": {"path": "orders", "data_selector": "data"}}],
})
if into.startswith("postgres"):
    destination = dlt.destinations.postgres(into)
else:
    destination = dlt.destinations.sqlalchemy(f"sqlite:///{into}")
pipeline = dlt.pipeline("orders", destination=destination, dataset_name="dlt_orders", pipelines_dir=folder)
print(pipeline.run(source), file=sys.stderr)
