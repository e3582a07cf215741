#!/usr/bin/env python3
"""A third party's client: nats-py from PyPI, no code of Canonry. Submits a command and a durable
intent, hears the outcome and the live event, and replays the ledger as an auditor.

nats_client.py URL TENANT FOUNDER.creds AUDITOR.creds    prints one JSON object
"""
import asyncio, json, sys

import nats


async def main(url, tenant, founder_creds, auditor_creds):
    founder = await nats.connect(url, user_credentials=founder_creds, inbox_prefix=b"_INBOX.founder")
    live = await founder.subscribe(f"live.{tenant}.ticket.opened")
    outcomes = await founder.subscribe(f"outcome.{tenant}.founder.*")
    subject = f"command.{tenant}.founder.ticket.open"
    answer = json.loads((await founder.request(subject, b'{"title":"From Python"}', timeout=20)).data)
    event = json.loads((await live.next_msg(timeout=20)).data)
    stored = json.loads((await founder.request(
        f"intent.{tenant}.founder.ticket.open", b'{"title":"Durable"}', timeout=20)).data)
    outcome = await outcomes.next_msg(timeout=20)
    refused = json.loads((await founder.request(subject, b'{"title":1}', timeout=20)).data)

    inbox = f"_INBOX.{tenant}.auditor".encode()
    auditor = await nats.connect(url, user_credentials=auditor_creds, inbox_prefix=inbox)
    stream = auditor.jetstream(prefix="audit.api")
    last = int(refused["position"])
    kinds = []
    for position in range(1, last + 1):
        for _ in range(50):
            try:
                message = await stream.get_msg(f"AUDIT_{tenant}", position)
                break
            except nats.js.errors.NotFoundError:
                await asyncio.sleep(0.1)  # the mirror follows
        body = json.loads(message.data)
        assert body["position"] == str(position), body
        kinds.append(body["type"])
    await founder.close()
    await auditor.close()
    print(json.dumps({
        "answer": answer, "event": event["position"], "stored": stored,
        "outcome": json.loads(outcome.data), "outcome_subject": outcome.subject,
        "refused": refused, "kinds": kinds,
    }))


asyncio.run(main(*sys.argv[1:]))
