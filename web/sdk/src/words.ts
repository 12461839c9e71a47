// 256 short English words that sound different from each other, for reading four of them aloud.

export const WORDS: readonly string[] = `
acorn actor admiral agent album almond amber anchor angel ankle apple apron arrow artist atlas autumn
bacon badge bagel bamboo banjo basket beacon beaver bishop blanket blossom bonfire border bottle bracelet bridge
bronze bubble bucket butter cabin cactus camel candle canyon captain caramel carpet castle cellar chalk chapel
cheese cherry chimney circus citrus clover cobra coffee comet compass copper coral cotton cousin coyote cradle
crayon crystal curtain cushion dagger daisy dancer desert diamond dinner doctor dolphin donkey dragon drummer eagle
easel echo elbow elephant ember emerald engine falcon farmer feather fiddle finger flamingo flute forest fossil
fountain foxglove freckle galaxy garlic garnet gazelle geyser giraffe glacier goblet gorilla granite grape guitar hammer
hamster harbour harvest hazel helmet hermit honey horizon hornet hunter icicle igloo indigo island ivory jacket
jaguar jasmine jelly jigsaw jungle kayak kettle kidney kingdom kitten koala ladder lagoon lantern lavender lemon
leopard lettuce lighthouse lily lizard llama lobster locket lotus lumber magnet mango maple marble meadow melon
mermaid meteor mirror mitten monkey mosaic mountain muffin mushroom napkin nectar needle nickel noodle nutmeg oasis
oatmeal ocean octopus olive onion opera orchid otter oyster paddle palace panther papaya parrot peacock pebble
pelican pencil pepper piano pigeon pillow pirate planet pocket poet polar poppy potato prairie pudding puppet
pyramid quarry quilt rabbit radish raven ribbon river robin rocket ruby saddle saffron salmon sandal sapphire
scarlet seagull shadow shepherd silver sparrow spider sugar summit sunset tango teapot temple thunder tiger tomato
trumpet tulip tunnel turtle umbrella unicorn valley velvet violin volcano waffle walnut whistle willow window zebra
`
  .trim()
  .split(/\s+/);
