// RunPod's own JavaScript client against the gateway. READY_URL has a WebUI, IDLE_URL has none.
import assert from "node:assert/strict";
import { test } from "node:test";

import runpodSdk from "runpod-sdk";

const endpointOf = (url) => runpodSdk("a key", { baseUrl: `${url}/v2` }).endpoint("local");
const ready = endpointOf(process.env.READY_URL);
const idle = endpointOf(process.env.IDLE_URL);
const patience = 60_000 * Number(process.env.GATEWAY_TEST_PATIENCE ?? 1);

const job = (more = {}) => ({ input: { prompt: "a lighthouse", steps: 4, width: 64, height: 64, ...more } });
const isPng = (base64) => Buffer.from(base64, "base64").subarray(1, 4).toString() === "PNG";

async function untilEnded(endpoint, id) {
    const end = Date.now() + patience;
    for (;;) {
        const view = await endpoint.status(id);
        if (view.completed) return view;
        assert.ok(Date.now() < end, `job ${id} is still ${view.status}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

test("runSync brings a picture", async () => {
    const result = await ready.runSync(job(), patience);

    assert.equal(result.status, "COMPLETED", JSON.stringify(result).slice(0, 500));
    assert.ok(result.started && result.completed && result.succeeded);
    assert.match(result.id, /^sync-[0-9a-f-]{36}-u1$/);
    assert.ok(isPng(result.output.images[0]));
});

test("run answers at once and status follows the job to its end", async () => {
    const accepted = await ready.run(job({ seed: 3 }));
    assert.deepEqual(Object.keys(accepted).sort(), ["id", "status"]);
    assert.equal(accepted.status, "IN_QUEUE");

    const view = await untilEnded(ready, accepted.id);

    assert.equal(view.status, "COMPLETED", JSON.stringify(view).slice(0, 500));
    assert.ok(Number.isInteger(view.delayTime) && Number.isInteger(view.executionTime));
    assert.ok(isPng(view.output.images[0]));
});

test("statusSync is held until the job has ended", async () => {
    const { id } = await ready.run(job({ seed: 4 }));

    const view = await ready.statusSync(id, patience);

    assert.equal(view.status, "COMPLETED");
});

test("stream ends with the job and yields objects", async () => {
    const { id } = await ready.run(job({ seed: 5, steps: 20 }));
    const items = [];

    for await (const item of ready.stream(id, patience)) items.push(item);

    assert.equal((await ready.status(id)).status, "COMPLETED");
    assert.ok(items.every((item) => typeof item === "object" && "output" in item), JSON.stringify(items));
    assert.ok(!JSON.stringify(items).includes("iVBOR"), "pictures do not travel in the stream");
});

test("a job that waits can be cancelled", async () => {
    const { id } = await idle.run(job());

    const answer = await idle.cancel(id);

    assert.deepEqual(answer, { id, status: "CANCELLED" });
    assert.equal((await idle.status(id)).status, "CANCELLED");
});

test("purgeQueue removes what waits, and says how much", async () => {
    await idle.run(job());
    await idle.run(job());
    const { jobs } = await idle.health();

    const answer = await idle.purgeQueue();

    assert.deepEqual(answer, { removed: jobs.inQueue, status: "completed" });
    assert.equal((await idle.health()).jobs.inQueue, 0);
});

test("health counts jobs and workers", async () => {
    const { jobs, workers } = await ready.health();

    assert.deepEqual(Object.keys(jobs).sort(), ["completed", "failed", "inProgress", "inQueue", "retried"]);
    assert.deepEqual(Object.keys(workers).sort(),
        ["idle", "initializing", "ready", "running", "throttled", "unhealthy"]);
    assert.ok(jobs.completed >= 4);
});

test("a job that cannot run fails with a reason", async () => {
    const checkpoint = { name: "unreachable", url: "http://127.0.0.1:9/unreachable.safetensors" };
    const { id } = await ready.run(job({ checkpoint }));

    const view = await untilEnded(ready, id);

    assert.equal(view.status, "FAILED");
    assert.match(view.error, /unreachable/);
});

test("an unknown id is a 404 with a body", async () => {
    await assert.rejects(idle.status("8d3f6d2e-0000-4000-8000-000000000000-u1"), (failure) => {
        assert.equal(failure.response.status, 404);
        assert.equal(failure.response.data.detail, "job not found");
        return true;
    });
});
