"""A simulated WhatsApp gateway: a real HTTP server that behaves well, or badly as its faults say.

``python -m simulator --host 127.0.0.1 --port 8055 --data DIR`` runs it in a process of its own. It keeps every
request and every accepted message in SQLite below DIR, shows what each phone received at ``/``, and takes faults
while it runs. It shares no code with what it tests.

For a sender:

    POST /v1/messages              {"device", "to", "text", "image_url"?}, header Idempotency-Key
                                   → 200 {"id": "sim-…", "status": "accepted", "duplicate": false}
    GET  /v1/messages?device=&key= the message accepted under that key, or 404 with code "unknown_message"
    GET  /v1/capabilities?device=  {"idempotency": true, "lookup": true}: what this device may count on

For a test or an operator:

    GET|PUT|POST|DELETE /v1/faults       what goes wrong, everywhere, for one device or for one phone
    GET|PUT             /v1/settings     whether idempotency keys are honoured and messages can be looked up
    GET|PUT|DELETE      /v1/webhook      the address that gets what people write: {"url", "secret"}
    POST                /v1/inbound      people write: {"messages": [{"device", "from", "text"}, …]}
    GET                 /v1/inbound      what they wrote, and when it was acknowledged, as JSON lines
    GET                 /v1/log          every request with its outcome, as JSON lines
    GET                 /v1/accepted     every accepted message, as JSON lines
    GET                 /v1/stats        totals, for each device and in all
    GET                 /health          that it runs, and the address of its control port

Errors are ``{"error": {"code", "message"}}``. A request is in the log before a fault acts on it, and a message is on
disk before its acceptance is answered: after ``kill -9`` everything that was acknowledged is there. The control port
serves the same as the main one, and goes on while the fault "offline" has the main one closed.
"""
