import { mount } from "svelte";
import { prepare } from "../../lib/start.ts";
import Landing from "./Landing.svelte";

mount(Landing, { target: await prepare() });
