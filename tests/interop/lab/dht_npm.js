// DHT nodes of the npm package bittorrent-dht, many in one process, driven by lines of JSON.
'use strict'

const crypto = require('crypto')
const readline = require('readline')
const DHT = require(process.env.DHT_MODULE)

const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')

function secretKey (seed) {
  return crypto.createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
}

function verify (signature, message, key) {
  const spki = { key: Buffer.concat([SPKI, key]), format: 'der', type: 'spki' }
  return crypto.verify(null, message, crypto.createPublicKey(spki), signature)
}

// A bencoded value as JSON can carry it: byte strings as hex.
function plain (value) {
  if (Buffer.isBuffer(value)) return { hex: value.toString('hex') }
  if (Array.isArray(value)) return value.map(plain)
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
  }
  return value
}

const nodes = []

function startOne (address, bootstrap) {
  const at = address.lastIndexOf(':')
  const dht = new DHT({ bootstrap, verify })
  dht.on('error', (e) => process.stderr.write(`${e}\n`))
  return new Promise((resolve) => {
    dht.listen(Number(address.slice(at + 1)), address.slice(0, at), () => resolve(dht))
  })
}

const orders = {
  async start ({ addresses, bootstrap }) {
    for (const address of addresses) nodes.push(await startOne(address, bootstrap))
    return {}
  },
  async count () {
    return { counts: nodes.map((n) => n.nodes.count()) }
  },
  put ({ node, value, seed, key, salt, seq }) {
    const item = { v: Buffer.from(value, 'hex') }
    if (seed) {
      const secret = secretKey(Buffer.from(seed, 'hex'))
      item.k = Buffer.from(key, 'hex')
      item.seq = seq
      if (salt) item.salt = Buffer.from(salt, 'hex')
      item.sign = (message) => crypto.sign(null, message, secret)
    }
    return new Promise((resolve) => {
      nodes[node].put(item, (error, hash, stored) => {
        resolve({ stored: stored || 0, error: error ? String(error) : null })
      })
    })
  },
  get ({ node, target, key, salt }) {
    const options = { cache: false }
    let hash = Buffer.from(target || '', 'hex')
    if (key) {
      if (salt) options.salt = Buffer.from(salt, 'hex')
      hash = crypto.createHash('sha1').update(Buffer.from(key + (salt || ''), 'hex')).digest()
    }
    return new Promise((resolve) => {
      nodes[node].get(hash, options, (error, item) => {
        resolve({ value: item ? plain(item.v) : null, seq: item && item.seq, error: error ? String(error) : null })
      })
    })
  },
  announce ({ node, target, port }) {
    return new Promise((resolve) => nodes[node].announce(target, port, () => resolve({})))
  },
  peers ({ node, target }) {
    const found = new Set()
    const onpeer = (peer, hash) => {
      if (hash.toString('hex') === target) found.add(`${peer.host}:${peer.port}`)
    }
    nodes[node].on('peer', onpeer)
    return new Promise((resolve) => {
      nodes[node].lookup(target, () => {
        nodes[node].removeListener('peer', onpeer)
        resolve({ peers: [...found].sort() })
      })
    })
  }
}

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const order = JSON.parse(line)
  console.log(JSON.stringify(await orders[order.do](order)))
}).on('close', () => process.exit(0))
