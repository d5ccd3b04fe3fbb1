export { createWarnings, type Deprecation, type DeprecationWarning, type Warnings } from "./warnings.ts";
