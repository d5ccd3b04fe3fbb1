import type { DescService } from "@bufbuild/protobuf";
import { isFault } from "../../src/lib/faults.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { CallOptions, ClientConnection, ServiceClient } from "../../src/wire/service.ts";

/** A client that, as Go's does, makes a call again over a new connection when the daemon was unavailable for it. */
export interface Reconnecting extends ClientConnection {
  /** How often a call was made again. */
  readonly repeats: number;
  /** What a connect failed with, in words: nobody was there at all. */
  readonly refusals: readonly string[];
}

type Call = (request: unknown, options?: CallOptions) => Promise<unknown>;

/** So long a daemon gives the calls under way; who waited longer and was cut off does not know whether its call was made. */
const graceMs = 4_000;
const repeatLimitMs = 60_000;

/** Makes one for unary calls. */
export function connectAgainAndAgain(path: string): Reconnecting {
  let current: Promise<ClientConnection> | undefined;
  const refusals: string[] = [];
  const closed = Promise.withResolvers<Error | undefined>();
  let repeats = 0;
  const connection = (): Promise<ClientConnection> => {
    current ??= connectGrpc({ path }).catch((error: unknown) => {
      refusals.push(String(error));
      current = undefined;
      throw error;
    });
    return current;
  };
  const once = async (desc: DescService, defaults: CallOptions, name: string, args: [unknown, CallOptions?]) => {
    const made = connection();
    try {
      const client = (await made).client(desc, defaults) as unknown as Readonly<Record<string, Call>>;
      return { answer: await client[name]?.(...args) };
    } catch (error) {
      if (!isFault(error, "unavailable")) throw error;
      if (current === made) current = undefined;
      return undefined;
    }
  };
  const repeated = async (desc: DescService, defaults: CallOptions, name: string, args: [unknown, CallOptions?]) => {
    const begun = performance.now();
    for (;;) {
      const tried = performance.now();
      const result = await once(desc, defaults, name, args);
      if (result !== undefined) return result.answer;
      const now = performance.now();
      if (name !== "wait" && now - tried > graceMs) throw new Error(`${name} was cut off after ${now - tried} ms`);
      if (now - begun > repeatLimitMs) throw new Error(`${name} stays unavailable`);
      repeats += 1;
      await Bun.sleep(1);
    }
  };
  return {
    get repeats() {
      return repeats;
    },
    refusals,
    closed: closed.promise,
    client: <S extends DescService>(desc: S, defaults: CallOptions = {}) =>
      new Proxy(
        {},
        {
          get:
            (_target, name) =>
            (...args: [unknown, CallOptions?]) =>
              repeated(desc, defaults, String(name), args),
        },
      ) as ServiceClient<S>,
    [Symbol.asyncDispose]: async () => {
      closed.resolve(undefined);
      await (await current?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}
