export { createVersionService } from "./service.ts";
