export { createSystemService, type SystemServiceOptions } from "./service.ts";
export type { Checkable, CheckCounts, CheckOptions, Problem, ProblemCode } from "./system.ts";
