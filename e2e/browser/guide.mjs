// Takes the pictures of docs/guide.
export async function takeGuide() {}
