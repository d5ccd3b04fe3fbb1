#!/usr/bin/env bun
import { main } from "../src/cli/main.ts";

// A command that takes longer than most has code that is worth compiling.
setTimeout(() => Bun.unsafe.setJITPolicy(1), 200).unref();
process.exit(await main(process.argv.slice(2), process.env));
