// The peer: a plain socket.io server that relays messages among the members of a room, and does nothing else.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { serveClient: false });
io.on("connection", (socket) => {
  socket.on("join", (room, done) => {
    socket.join(room);
    done();
  });
  socket.on("message", (room, data) => socket.to(room).emit("message", data));
});
http.listen(Number(process.argv[2]), "127.0.0.1", 4096);
