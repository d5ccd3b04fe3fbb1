import { startSide } from "./sides.ts"; import { measureLife } from "./life.ts"; import { runOk, startLighter } from "../test/support/index.ts";
const s = await startSide("lighter","runc"); const pid=s.daemon.pid;
s.api.connection.closed.then((e)=>{ let a="alive"; try{process.kill(pid,0)}catch{a="DEAD"}; console.log("closed", String(e), a, new Date().toISOString()) });
const bare=(n:number,k:number)=>runOk([process.execPath,`${import.meta.dir}/bare-loop.ts`,"runc",String(n),String(k)],{timeoutMs:300000});
try { for (let i=0;i<3;i++) for (const [k,n] of [[1,20],[4,60],[16,80]] as const){ await bare(n,k); console.log(k, await measureLife(s, n, k), new Date().toISOString()); } } catch(e){console.log(String(e))}
console.log((await s.daemon.logs()).slice(-600));
try { await s[Symbol.asyncDispose]() } catch(e){ console.log(String(e).slice(0,300)) }
process.exit()
