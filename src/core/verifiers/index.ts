export { combineVerifiers } from "./all-verifiers.ts";
export { type BindirOptions, createBindirVerifier } from "./bindir-verifier.ts";
export type { ImageVerifier, ImageVerifiers, Judgement, WayIn } from "./verifiers.ts";
