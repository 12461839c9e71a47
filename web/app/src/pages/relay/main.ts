import { mount } from "svelte";
import { prepare } from "../../lib/start.ts";
import Page from "./Page.svelte";

mount(Page, { target: await prepare() });
