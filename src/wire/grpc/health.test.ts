import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HealthCheckResponse_ServingStatus, Health as HealthDesc } from "../../gen/grpc/health/v1/health_pb.ts";
import { connectGrpc, createGrpcServer, createHealthService } from "./index.ts";
import { faultOfCall } from "./testing.ts";

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

describe("createHealthService", () => {
  test("answers Check and tells Watch of every change", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lighter-health-"));
    const path = join(folder, "sock");
    const health = createHealthService({ services: ["a.Service"] });
    const server = createGrpcServer({ services: [health.service] });
    await server.listen({ path });
    {
      await using connection = await connectGrpc({ path });
      const client = connection.client(HealthDesc);
      for (const service of ["", "a.Service"]) expect((await client.check({ service })).status).toBe(SERVING);
      expect(await faultOfCall(client.check({ service: "b" }))).toBe("notFound: unknown service");
      const seen: number[] = [];
      for await (const { status } of client.watch({ service: "a.Service" })) {
        seen.push(status);
        if (seen.length === 3) break;
        health.setServing(seen.length === 2);
      }
      expect(seen).toEqual([SERVING, NOT_SERVING, SERVING]);
      for await (const { status } of client.watch({ service: "b" })) {
        expect(status).toBe(SERVICE_UNKNOWN);
        break;
      }
    }
    await server.close(0);
    rmSync(folder, { recursive: true });
  });
});
