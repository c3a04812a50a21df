"""What the attributes of spans are called, all in one place.

``gen_ai.*`` as in OpenTelemetry's semantic conventions for generative AI, which are still in development; ``db.*``,
``http.*`` and ``error.type`` as in the stable ones; ``rap.*`` is our own.

No name here stands for a picture, a text, a concept's name, an embedding or a key, nor for who asked: a request's id
leads to the tenant in the logs, and nowhere else.
"""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
MAX_TOKENS = "gen_ai.request.max_tokens"
TEMPERATURE = "gen_ai.request.temperature"
TOP_P = "gen_ai.request.top_p"
STREAM = "gen_ai.request.stream"
FIRST_CHUNK_SECONDS = "gen_ai.response.time_to_first_chunk"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
EMBEDDING_SIZE = "gen_ai.embeddings.dimension.count"

CHAT, EMBEDDINGS, RETRIEVAL = "chat", "embeddings", "retrieval"
"""Values of OPERATION."""

DB_SYSTEM = "db.system.name"
DB_OPERATION = "db.operation.name"
ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"

REQUEST_ID = "rap.request.id"
LANE = "rap.admission.lane"
CACHE = "rap.retrieval.cache"
EVIDENCE = "rap.evidence.count"
REGIONS = "rap.regions.count"
DEGRADED = "rap.retrieval.degraded"
WORDS = "rap.vocabulary.count"
CROPS = "rap.crops.count"
BATCH_WAIT_MS = "rap.batch.wait_ms"
PICTURES_HELD = "rap.pictures.held"
"""Whether a replica of the MLLM had all pictures that came without bytes."""
