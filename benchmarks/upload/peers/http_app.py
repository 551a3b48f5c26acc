# mypy: ignore-errors
"""An HTTP upload as services do it today: FastAPI and python-multipart, the whole body to S3, a row to PostgreSQL.

Runs in `.tools/http-venv`, which has what it imports; see `http_upload.py`. A plain function, which FastAPI runs on a
thread of its pool; the bytes are neither hashed nor resumed, and are in memory whole.
"""

from __future__ import annotations

import os
import uuid

import boto3
from botocore.config import Config
from fastapi import FastAPI, UploadFile
from psycopg2.pool import ThreadedConnectionPool

s3 = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"], config=Config(max_pool_connections=50))
pool = ThreadedConnectionPool(1, 50, os.environ["DATABASE_URL"])
app = FastAPI()


@app.post("/documents", status_code=201)
def upload(file: UploadFile) -> dict[str, object]:
    """Store it, then say so."""
    document_id, body = str(uuid.uuid4()), file.file.read()
    s3.put_object(Bucket=os.environ["S3_BUCKET"], Key=f"http/{document_id}", Body=body, ContentType=file.content_type)
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO stored (id, filename, size) VALUES (%s, %s, %s)",
                (document_id, file.filename, len(body)),
            )
    finally:
        pool.putconn(connection)
    return {"id": document_id, "size": len(body)}
