// UDP echo on node:dgram. node node-dgram.js PORT
import dgram from 'node:dgram';

const socket = dgram.createSocket({
  type: 'udp4',
  recvBufferSize: 4 << 20,
  sendBufferSize: 4 << 20,
});
socket.on('message', (message, { port, address }) => socket.send(message, port, address));
socket.bind(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
