// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The relay's data path inside the kernel (XDP): ChannelData <-> UDP of bound channels, RFC 8656 §12.
 *
 *   client ──ChannelData──► [strip 4 bytes] ──UDP──► peer          IPv4 and IPv6, in all four pairs
 *   client ◄─ChannelData─── [add 4 bytes]  ◄──UDP─── peer
 *   client ──ChannelData──► [other number] ──ChannelData──► client whose relayed address is the peer
 *
 * Decides nothing: it does what the relay's machine has granted, flow by flow, until the granted time is over and within
 * the granted rate. Whatever is unusual goes up to the relay's sockets unchanged. What is written here is built into the
 * server as relay.o; see ./build.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline
#define swap16(value) __builtin_bswap16(value)
#define READ(place) (*(volatile __typeof__(place) *)&(place))
#define WRITE(place, value) (*(volatile __typeof__(place) *)&(place) = (value))

static void *(*lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*ktime)(void) = (void *)BPF_FUNC_ktime_get_ns;
static long (*redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*adjust_head)(struct xdp_md *ctx, int delta) = (void *)BPF_FUNC_xdp_adjust_head;

/* Which packets: both addresses (IPv4 as ::ffff:a.b.c.d), ports in network order, and the channel; 0: from a peer. */
struct key {
	__u32 source[4];
	__u32 target[4];
	__be16 source_port;
	__be16 target_port;
	__u16 channel;
	__u16 zero;
};

/* What becomes of them. */
struct flow {
	__u32 source[4];
	__u32 target[4];
	__be16 source_port;
	__be16 target_port;
	/* Put in front; 0: none. */
	__u16 channel;
	/* The target is a relayed address of ours: the flow from `source` to `target` says where to. */
	__u16 inside;
	/* Of this direction and of the other, in `directions`. */
	__u32 here;
	__u32 back;
	/* In `buckets`. */
	__u32 bucket;
	__u32 zero;
};

/* One direction of a channel. The relay reads the counts, and writes `expires`, by mapped memory. */
struct direction {
	__u64 packets;
	__u64 bytes;
	__u64 dropped;
	/* All times: nanoseconds of CLOCK_MONOTONIC. */
	__u64 expires;
	/* How packets of this direction last came in: the way back to whoever sends them. */
	__u64 seen;
	__u32 interface;
	__u32 ethernet[3];
};

/* The rate of one allocation: when its bucket will be full again, what a byte takes, and all it holds, as times. */
struct bucket {
	__u64 full_at;
	/* In 1/65536 ns. */
	__u64 byte;
	__u64 burst;
	__u64 zero;
};

#define MAP(kind, count, flags, of_key, of_value)                                                                          \
	struct {                                                                                                           \
		int(*type)[kind];                                                                                          \
		int(*max_entries)[count];                                                                                  \
		int(*map_flags)[flags];                                                                                    \
		__typeof__(of_key) *key;                                                                                   \
		__typeof__(of_value) *value;                                                                               \
	}

/* The sizes are set by whoever loads this. */
MAP(BPF_MAP_TYPE_HASH, 1, 0, struct key, struct flow) flows SEC(".maps");
MAP(BPF_MAP_TYPE_ARRAY, 1, BPF_F_MMAPABLE, __u32, struct direction) directions SEC(".maps");
MAP(BPF_MAP_TYPE_ARRAY, 1, BPF_F_MMAPABLE, __u32, struct bucket) buckets SEC(".maps");
/* One bit for each channel whose counts have changed. */
MAP(BPF_MAP_TYPE_ARRAY, 1, BPF_F_MMAPABLE, __u32, __u64) touched SEC(".maps");
/* Our Ethernet address on each interface we are attached to, by its number. */
MAP(BPF_MAP_TYPE_HASH, 1, 0, __u32, __u64) interfaces SEC(".maps");

/* All headers of a packet that leaves. */
struct headers_v4 {
	__u32 ethernet[3];
	__be16 protocol;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

struct headers_v6 {
	__u32 ethernet[3];
	__be16 protocol;
	struct ipv6hdr ip;
	struct udphdr udp;
} __attribute__((packed));

/* What was read of a packet that came in. */
struct packet {
	struct key key;
	__u32 ethernet[3];
	/* Bytes up to the end of the UDP header. */
	__u32 headers;
	__u32 payload;
	/* The first four bytes of the payload, and what they mean as ChannelData. */
	__u32 head;
	__u16 checksum;
	__be16 udp_length;
	/* Kept from the IP header. */
	__u8 traffic_class;
	__u8 ttl;
	__be16 identification;
	__be16 fragment;
	__u32 flow_label;
};

/* RFC 8200 §5: every path of IPv6 carries this. What is longer may need fragments, which are the sockets' business. */
#define MOST 1280
/* What is shorter is padded on Ethernet, by whoever sends it. */
#define LEAST 60
/* The way back is known for this long after the last packet came by it. */
#define FRESH 10000000000ULL
#define TRIES 4

INLINE __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

INLINE __u64 sum_addresses(const __u32 *source, const __u32 *target)
{
	__u64 sum = 0;
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum += (__u64)source[i] + target[i];
	return sum;
}

INLINE __u64 sum_ipv4(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u64 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	return sum;
}

INLINE int is_v4(const __u32 *address)
{
	return address[0] == 0 && address[1] == 0 && address[2] == (__u32)swap16(0xffff) << 16;
}

INLINE void set_v4(__u32 *address, __be32 v4)
{
	address[0] = 0;
	address[1] = 0;
	address[2] = (__u32)swap16(0xffff) << 16;
	address[3] = v4;
}

/* Reads an ordinary UDP packet: no VLAN tag, no options, no fragment, all lengths in agreement. */
INLINE int read_packet(struct xdp_md *ctx, struct packet *packet)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct udphdr *udp;
	__u32 length;

	if ((void *)(ethernet + 1) > end)
		return 0;
	__builtin_memcpy(packet->ethernet, ethernet, sizeof(packet->ethernet));
	if (ethernet->h_proto == swap16(ETH_P_IP)) {
		struct iphdr *ip = (void *)(ethernet + 1);

		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > end || ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
			return 0;
		/* Neither more fragments nor an offset; DF may be set. */
		if (ip->frag_off & ~swap16(0x4000) || fold(sum_ipv4(ip)) != 0xffff)
			return 0;
		set_v4(packet->key.source, ip->saddr);
		set_v4(packet->key.target, ip->daddr);
		length = swap16(ip->tot_len) - sizeof(*ip);
		packet->headers = sizeof(*ethernet) + sizeof(*ip) + sizeof(*udp);
		packet->traffic_class = ip->tos;
		packet->ttl = ip->ttl;
		packet->identification = ip->id;
		packet->fragment = ip->frag_off;
		packet->flow_label = 0;
	} else if (ethernet->h_proto == swap16(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(ethernet + 1);
		__u32 first;

		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_UDP)
			return 0;
		/* RFC 8200 §8.1: there is always a checksum. */
		if (udp->check == 0)
			return 0;
		__builtin_memcpy(packet->key.source, &ip->saddr, 16);
		__builtin_memcpy(packet->key.target, &ip->daddr, 16);
		/* No IPv4 address in disguise. */
		if (is_v4(packet->key.source) || is_v4(packet->key.target))
			return 0;
		__builtin_memcpy(&first, ip, 4);
		first = __builtin_bswap32(first);
		length = swap16(ip->payload_len);
		packet->headers = sizeof(*ethernet) + sizeof(*ip) + sizeof(*udp);
		packet->traffic_class = first >> 20;
		packet->ttl = ip->hop_limit;
		packet->identification = 0;
		packet->fragment = 0;
		packet->flow_label = first & 0xfffff;
	} else {
		return 0;
	}
	/* RFC 8656 §14: one less leaves. */
	if (length != swap16(udp->len) || length < sizeof(*udp) + 4 || packet->ttl < 2)
		return 0;
	packet->payload = length - sizeof(*udp);
	packet->key.source_port = udp->source;
	packet->key.target_port = udp->dest;
	packet->key.channel = 0;
	packet->key.zero = 0;
	packet->checksum = udp->check;
	packet->udp_length = udp->len;
	if ((void *)(udp + 1) + 4 > end || data + packet->headers + packet->payload > end)
		return 0;
	__builtin_memcpy(&packet->head, udp + 1, 4);
	/* Sent by this host or a neighbour in a container, without a checksum: that would be computed when it leaves, at the
	 * place where the UDP header was. It may also stand for several packets. */
	return packet->checksum != fold(sum_addresses(packet->key.source, packet->key.target) + swap16(IPPROTO_UDP) + udp->len);
}

/* Whether it came by the way that is known for its direction; learns the way if none is. */
INLINE int came_by(struct xdp_md *ctx, const struct packet *packet, struct direction *direction, __u64 now)
{
	__u32 interface = ctx->ingress_ifindex;
	__u64 *own, target;

	if (READ(direction->interface) == interface && READ(direction->ethernet[0]) == packet->ethernet[0] &&
	    READ(direction->ethernet[1]) == packet->ethernet[1] && READ(direction->ethernet[2]) == packet->ethernet[2]) {
		WRITE(direction->seen, now);
		return 1;
	}
	/* Another way counts only when the known one is no longer used: a forged packet leads nobody astray. */
	if (READ(direction->interface) != 0 && now - READ(direction->seen) < FRESH)
		return 0;
	own = lookup(&interfaces, &interface);
	target = packet->ethernet[0] | (__u64)(packet->ethernet[1] & 0xffff) << 32;
	if (!own || *own != target)
		return 0;
	WRITE(direction->interface, interface);
	WRITE(direction->ethernet[0], packet->ethernet[0]);
	WRITE(direction->ethernet[1], packet->ethernet[1]);
	WRITE(direction->ethernet[2], packet->ethernet[2]);
	WRITE(direction->seen, now);
	return 1;
}

enum taken { TAKEN, EMPTY, BUSY };

/* A token bucket as one number (GCRA): the same that the relay's machine keeps. */
INLINE enum taken take(__u32 index, __u32 bytes, __u64 now)
{
	struct bucket *bucket = lookup(&buckets, &index);
	__u64 cost;

	if (!bucket)
		return BUSY;
	cost = (READ(bucket->byte) * bytes) >> 16;
#pragma unroll
	for (int i = 0; i < TRIES; i++) {
		__u64 before = READ(bucket->full_at);
		__u64 after = (before > now ? before : now) + cost;

		if (after - now > READ(bucket->burst))
			return EMPTY;
		if (__sync_val_compare_and_swap(&bucket->full_at, before, after) == before)
			return TAKEN;
	}
	return BUSY;
}

INLINE void touch(__u32 here)
{
	__u32 word = here >> 7;
	__u64 *bits = lookup(&touched, &word), bit = 1ULL << ((here >> 1) & 63);

	if (bits && !(READ(*bits) & bit))
		__sync_fetch_and_or(bits, bit);
}

INLINE void count(struct direction *direction, __u32 here, __u32 bytes)
{
	__sync_fetch_and_add(&direction->packets, 1);
	__sync_fetch_and_add(&direction->bytes, bytes);
	touch(here);
}

INLINE int drop(struct direction *direction, __u32 here)
{
	__sync_fetch_and_add(&direction->dropped, 1);
	touch(here);
	return XDP_DROP;
}

/* RFC 1624 equation 3, over all that changes: addresses, ports, both lengths, the four bytes in front. */
INLINE __u16 new_checksum(const struct packet *packet, const struct flow *flow, __be16 udp_length, __u32 head)
{
	__u64 before = sum_addresses(packet->key.source, packet->key.target) + packet->key.source_port +
		       packet->key.target_port + 2 * (__u64)packet->udp_length + (packet->key.channel ? packet->head : 0);
	__u64 after = sum_addresses(flow->source, flow->target) + flow->source_port + flow->target_port +
		      2 * (__u64)udp_length + head;
	__u16 checksum = ~fold((__u64)(__u16)~packet->checksum + (__u16)~fold(before) + fold(after));

	/* RFC 768: zero means none. */
	return checksum ? checksum : 0xffff;
}

INLINE int leave(struct xdp_md *ctx, const struct packet *packet, const struct flow *flow, const struct direction *way)
{
	__u32 out = READ(way->interface), ethernet[3] = { READ(way->ethernet[0]), READ(way->ethernet[1]), READ(way->ethernet[2]) };
	__u32 payload = packet->payload - (packet->key.channel ? 4 : 0);
	__u32 in_front = flow->channel ? 4 : 0;
	__u32 head = flow->channel ? (__u32)swap16(flow->channel) | (__u32)swap16(payload) << 16 : 0;
	__be16 udp_length = swap16(sizeof(struct udphdr) + in_front + payload);
	struct udphdr udp = { flow->source_port, flow->target_port, udp_length, 0 };
	__u32 old = packet->headers + (packet->key.channel ? 4 : 0);
	int v4 = is_v4(flow->target);
	__u32 new = (v4 ? sizeof(struct headers_v4) : sizeof(struct headers_v6)) + in_front;
	/* The frame's sender becomes its receiver: target, source => source, target. */
	__u32 turned[3] = { ethernet[1] >> 16 | ethernet[2] << 16, ethernet[2] >> 16 | ethernet[0] << 16,
			    ethernet[0] >> 16 | ethernet[1] << 16 };
	void *data, *end;

	/* A zero checksum stays one over IPv4 and cannot be one over IPv6. */
	if (packet->checksum)
		udp.check = new_checksum(packet, flow, udp_length, head);
	else if (!v4)
		return XDP_PASS;
	if (adjust_head(ctx, (int)old - (int)new))
		return XDP_PASS;
	/* From here on it is no longer what came in: on with it, or away. */
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (v4) {
		struct headers_v4 *headers = data;

		if ((void *)(headers + 1) + 4 > end)
			return XDP_DROP;
		__builtin_memcpy(headers->ethernet, turned, sizeof(turned));
		headers->protocol = swap16(ETH_P_IP);
		struct iphdr ip = {
			.version = 4,
			.ihl = 5,
			.tos = packet->traffic_class,
			.tot_len = swap16(sizeof(struct iphdr) + sizeof(udp) + in_front + payload),
			.id = packet->identification,
			.frag_off = packet->fragment,
			.ttl = packet->ttl - 1,
			.protocol = IPPROTO_UDP,
			.saddr = flow->source[3],
			.daddr = flow->target[3],
		};

		ip.check = ~fold(sum_ipv4(&ip));
		headers->ip = ip;
		headers->udp = udp;
		if (in_front)
			__builtin_memcpy(headers + 1, &head, 4);
	} else {
		struct headers_v6 *headers = data;
		__u32 first = __builtin_bswap32(6U << 28 | (__u32)packet->traffic_class << 20 | packet->flow_label);

		if ((void *)(headers + 1) + 4 > end)
			return XDP_DROP;
		__builtin_memcpy(headers->ethernet, turned, sizeof(turned));
		headers->protocol = swap16(ETH_P_IPV6);
		__builtin_memcpy(&headers->ip, &first, 4);
		headers->ip.payload_len = udp_length;
		headers->ip.nexthdr = IPPROTO_UDP;
		headers->ip.hop_limit = packet->ttl - 1;
		__builtin_memcpy(&headers->ip.saddr, flow->source, 16);
		__builtin_memcpy(&headers->ip.daddr, flow->target, 16);
		headers->udp = udp;
		if (in_front)
			__builtin_memcpy(headers + 1, &head, 4);
	}
	return out == ctx->ingress_ifindex ? XDP_TX : redirect(out, 0);
}

/* Whether what leaves is of a usual size. */
INLINE int fits(const struct flow *flow, __u32 payload)
{
	__u32 size = (is_v4(flow->target) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct udphdr) +
		     (flow->channel ? 4 : 0) + payload;

	return size <= MOST && size + ETH_HLEN >= LEAST;
}

INLINE struct flow *find(struct packet *packet)
{
	__u16 number = swap16(packet->head & 0xffff), length = swap16(packet->head >> 16);

	/* RFC 8656 §12.4: a channel number, and a length without padding. */
	if (number >= 0x4000 && number <= 0x7fff && length + 4U == packet->payload) {
		struct flow *flow;

		packet->key.channel = number;
		flow = lookup(&flows, &packet->key);
		if (flow)
			return flow;
		packet->key.channel = 0;
	}
	return lookup(&flows, &packet->key);
}

SEC("xdp")
int relay(struct xdp_md *ctx)
{
	struct packet packet = {};
	struct flow *flow, *last;
	struct direction *here, *there, *way;
	__u32 payload, index;
	__u64 now;
	enum taken taken;

	if (!read_packet(ctx, &packet))
		return XDP_PASS;
	flow = find(&packet);
	if (!flow)
		return XDP_PASS;
	now = ktime();
	index = flow->here;
	here = lookup(&directions, &index);
	if (!here || READ(here->expires) <= now || !came_by(ctx, &packet, here, now))
		return XDP_PASS;
	last = flow;
	there = here;
	if (flow->inside) {
		struct key inside = { .source_port = flow->source_port, .target_port = flow->target_port };

		__builtin_memcpy(inside.source, flow->source, 16);
		__builtin_memcpy(inside.target, flow->target, 16);
		last = lookup(&flows, &inside);
		if (!last)
			return XDP_PASS;
		index = last->here;
		there = lookup(&directions, &index);
		if (!there || READ(there->expires) <= now)
			return XDP_PASS;
	}
	index = last->back;
	way = lookup(&directions, &index);
	payload = packet.payload - (packet.key.channel ? 4 : 0);
	if (!way || !READ(way->interface) || now - READ(way->seen) >= FRESH || !fits(last, payload))
		return XDP_PASS;
	if (!packet.checksum && !is_v4(last->target))
		return XDP_PASS;
	taken = take(flow->bucket, payload, now);
	if (taken != TAKEN)
		return taken == EMPTY ? drop(here, flow->here) : XDP_PASS;
	count(here, flow->here, payload);
	if (last != flow) {
		if (take(last->bucket, payload, now) != TAKEN)
			return drop(there, last->here);
		count(there, last->here, payload);
	}
	return leave(ctx, &packet, last, way);
}

char licence[] SEC("license") = "Dual MIT/GPL";
