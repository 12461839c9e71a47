// What Vite makes of the worker: its address.
declare module "*?worker&url" {
  const address: string;
  export default address;
}
