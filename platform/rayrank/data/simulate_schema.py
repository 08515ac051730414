"""The schema.yaml that goes with the simulated restaurants."""

SCHEMA = """\
# A simulated food-delivery log: users open the app at lunch and dinner, see slates of restaurants,
# click some and order from a few.
name: food_delivery
user: user_id
item: item_id
time: time_ms
time_unit: ms
timezone: Asia/Shanghai

sequences:
  # What was clicked, as in MTGR, and what was ordered; what was passed over is no history.
  clicks: {from: exposures, where: click}
  orders: {from: events, type: order}

tables:
  item: {dim: 16}
  cuisine: {dim: 8}
  price: {dim: 8}
  hour: {dim: 8}
  position: {dim: 8}
  city: {dim: 8}
  age: {dim: 8}
  member: {dim: 8}

features:
  # The user.
  city: {tokens: [profile], kind: id, source: users, table: city}
  age: {tokens: [profile], kind: bucket, source: users, table: age, boundaries: [22, 33, 44, 55]}
  is_member: {tokens: [profile], kind: id, source: users, table: member}

  # What was shown, in the past and now.
  item_id: {tokens: [clicks, orders, candidate], kind: id, table: item}
  cuisine: {tokens: [clicks, orders, candidate], kind: id, source: items, table: cuisine}
  price:
    tokens: [clicks, orders, candidate]
    kind: bucket
    source: items
    table: price
    boundaries: [18, 24, 30, 36, 46, 60]
  hour: {tokens: [clicks, candidate], kind: id, table: hour}

  # The candidate's own: side information, context, and statistics as of the request.
  rating: {tokens: [candidate], kind: number, source: items}
  position: {tokens: [candidate], kind: id, table: position}
  distance_km: {tokens: [candidate], kind: number}
  user_cuisine_ctr: {tokens: [candidate], kind: number, as_of: stats_as_of_ms}
  user_cuisine_count:
    {tokens: [candidate], kind: number, transform: log1p, as_of: stats_as_of_ms}
  user_item_clicks: {tokens: [candidate], kind: number, transform: log1p, as_of: stats_as_of_ms}
  item_ctr: {tokens: [candidate], kind: number, as_of: stats_as_of_ms}
  item_count: {tokens: [candidate], kind: number, transform: log1p, as_of: stats_as_of_ms}

tasks:
  click: {label: click}
  order: {event: order, within: 10m, after: click, given: click}
"""
