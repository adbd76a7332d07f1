// Loaded before a program (`--import`): its wall clock begins at ADIT_TEST_WALL (ms since 1970) and goes on from there.
const shift = Number(process.env.ADIT_TEST_WALL) - Date.now()
const now = Date.now.bind(Date)
Date.now = () => now() + shift
