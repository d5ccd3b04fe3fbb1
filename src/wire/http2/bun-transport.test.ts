import { describe, expect, test } from "bun:test";
import { type BunSocket, BunTransport, type SocketData, socketEvents } from "./bun-transport.ts";

/** The part of a socket that a time-out touches. */
function fakeSocket(): { socket: BunSocket; calls: string[] } {
  const calls: string[] = [];
  const data: SocketData = { connection: undefined };
  const socket = {
    data,
    shutdown: () => calls.push("shutdown"),
    timeout: (seconds: number) => calls.push(`timeout ${seconds}`),
    terminate: () => calls.push("terminate"),
  };
  return { socket: socket as unknown as BunSocket, calls };
}

describe("socketEvents.timeout", () => {
  test("leaves a connection be that nobody has ended: the runtime fires it by itself after two minutes", () => {
    const { socket, calls } = fakeSocket();
    socketEvents.timeout(socket);
    expect(calls).toEqual([]);
  });

  test("hangs up on a peer that does not end its side", () => {
    const { socket, calls } = fakeSocket();
    new BunTransport(socket).end();
    socketEvents.timeout(socket);
    expect(calls).toEqual(["shutdown", "timeout 5", "terminate"]);
  });
});
