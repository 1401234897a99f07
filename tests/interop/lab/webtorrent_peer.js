// WebTorrent with one torrent, driven by lines of JSON. See webtorrent.py.
'use strict'

const readline = require('readline')
const WebTorrent = require(process.env.WEBTORRENT_MODULE)

let torrent

function start (order) {
  const client = new WebTorrent({
    torrentPort: order.port,
    dht: false,
    lsd: false,
    utp: order.transport === 'utp',
    secure: order.encryption !== 'off',
    ...(order.up_limit ? { uploadLimit: order.up_limit } : {})
  })
  client.on('error', (e) => process.stderr.write(`${e}\n`))
  torrent = client.add(order.torrent, { path: order.data })
  torrent.on('warning', (e) => process.stderr.write(`${e}\n`))
  return { listening: client.listening }
}

const orders = {
  start,
  status () {
    const pieces = []
    for (let i = 0; i < torrent.pieces.length; i++) if (torrent.bitfield.get(i)) pieces.push(i)
    return { ready: torrent.ready, pieces, given: torrent.uploaded }
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line)
  process.stdout.write(JSON.stringify(orders[order.do](order)) + '\n')
}).on('close', () => process.exit())
